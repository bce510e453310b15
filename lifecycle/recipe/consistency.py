"""What must hold between the sections of a recipe, and would otherwise fail, or mean something else, after hours of work."""

from collections import Counter
from typing import TYPE_CHECKING

from lifecycle.recipe.corpora import FileSource
from lifecycle.recipe.evaluation import BESIDE_TASKS, DOCUMENTED_TASKS, FURTHER, TEXT_ONLY_TASK
from lifecycle.recipe.gates import CHAMPION, FINAL

if TYPE_CHECKING:
    from lifecycle.recipe.recipe import Recipe


def check_sections(recipe: "Recipe") -> None:
    """Raises ValueError for the first thing that does not hold; the message names the fields and what to do."""
    _names_are_consistent(recipe)
    _lengths_fit(recipe)
    _additions_belong_to_a_round(recipe)
    _own_reward_model_is_made(recipe)
    _answers_for_kto_are_given(recipe)
    _controls_something(recipe)
    _own_reward_model_compares(recipe)
    _gates_name_what_is_measured(recipe)
    _gates_name_models_of_this_recipe(recipe)
    _samples_are_known(recipe)
    _looks_at_own_sources(recipe)
    _mix_is_one_kind(recipe)


def _names_are_consistent(recipe: "Recipe") -> None:
    names = [source.name for source in recipe.sources]
    if len(set(names)) != len(names):
        raise ValueError(f"sources: every name must be unique, got {names}")
    documented = {source.name for source in recipe.sources if source.kind == "python_docs"}
    for section, entries in (("instructions", recipe.instructions.sources), ("preferences", recipe.preferences.sources)):
        for entry in entries:
            unknown = set(getattr(entry, "sources", ())) - documented
            if unknown:
                raise ValueError(
                    f"{section}.sources: {sorted(unknown)} are not python_docs sources of this recipe; "
                    "for conversations or pairs of your own use {kind: files, name: …, path: …, licence: …}"
                )
        files = [entry.name for entry in entries if entry.kind == "files"]
        if len(set(files)) != len(files):
            raise ValueError(f"{section}.sources: every name must be unique, got {files}")
    positions = recipe.base_model.max_positions
    for training in (recipe.base_model.training, recipe.sft.training):
        if training and positions and training.sequence_length > positions:
            raise ValueError(
                f"sequence_length {training.sequence_length} exceeds base_model.architecture.max_positions {positions}"
            )


def _lengths_fit(recipe: "Recipe") -> None:
    """What would otherwise fail, or measure something else, after hours of training."""
    positions = recipe.base_model.max_positions
    limits = (
        ("instructions.max_tokens", recipe.instructions.max_tokens, "sft.training.sequence_length"),
        *(
            (f"{name}.max_length", config.max_length, "base_model.architecture.max_positions")
            for name, config in (("dpo", recipe.dpo), ("kto", recipe.kto), ("reward_model", recipe.reward_model))
            if config
        ),
        ("evaluation.context", recipe.evaluation.context, "base_model.architecture.max_positions"),
        ("preferences.max_new_tokens", recipe.preferences.max_new_tokens * 2, "base_model.architecture.max_positions"),
        ("evaluation.max_new_tokens", recipe.evaluation.max_new_tokens * 2, "base_model.architecture.max_positions"),
    )
    for name, value, limit in limits:
        allowed = recipe.sft.training.sequence_length if limit.startswith("sft") else positions
        if allowed and value > allowed:
            twice = " (twice it: the prompt needs room too)" if name.endswith("new_tokens") else ""
            raise ValueError(f"{name}{twice} {value} exceeds {limit} {allowed}")


def _additions_belong_to_a_round(recipe: "Recipe") -> None:
    numbers = [each.round for each in recipe.added_instructions]
    wrong = next((number for number in numbers if number > recipe.rounds or numbers.count(number) > 1), None)
    if wrong:
        raise ValueError(
            f"added_instructions: round {wrong} stands there twice, or is none of this recipe's {recipe.rounds}"
        )
    names = Counter(
        source.name
        for sources in (recipe.instructions.sources, *(each.sources for each in recipe.added_instructions))
        for source in sources
        if source.kind == "files"
    )
    if recipe.added_instructions and (repeated := sorted(name for name, count in names.items() if count > 1)):
        raise ValueError(f"added_instructions: every source needs a name of its own; {repeated} stand more than once")


def _own_reward_model_is_made(recipe: "Recipe") -> None:
    if recipe.preferences.own_reward_model() and (recipe.reward_model is None or recipe.rounds < 2):
        raise ValueError(
            "preferences.judges: a reward_model without `path` is the recipe's own, made in the first round for the "
            "next ones: it needs the section `reward_model` and `rounds: 2` or more"
        )


def _answers_for_kto_are_given(recipe: "Recipe") -> None:
    if recipe.kto and not any(source.kind == "files" for source in recipe.preferences.sources):
        raise ValueError(
            "kto: learns from answers that were labelled as wanted or not, which no source of this recipe has; give "
            "such a file in preferences.sources (kind: files)"
        )


def _controls_something(recipe: "Recipe") -> None:
    if recipe.evaluation.sft_controls is None:
        return
    selection, phases = recipe.instructions.selection, recipe.sft.phases
    if not ((selection and not selection.random) or (phases and phases.order != "random")):
        raise ValueError(
            "evaluation.sft_controls: nothing of this recipe can be left to chance; it needs `sft.phases` or "
            "`instructions.selection`, which are not random themselves"
        )
    if recipe.sft.heldout is None:
        raise ValueError("evaluation.sft_controls: measures held-out conversations; say `sft: {heldout: {share: 0.05}}`")
    if recipe.sft.balance.coba:
        raise ValueError("evaluation.sft_controls: sft.balance.coba weighs each training by itself; leave one out")


def _own_reward_model_compares(recipe: "Recipe") -> None:
    if recipe.evaluation.own_reward_model() and recipe.reward_model is None:
        raise ValueError(
            "evaluation.judges: a reward_model without `path` is the recipe's own: it needs the section `reward_model`"
        )


def _gates_name_what_is_measured(recipe: "Recipe") -> None:
    measured = (*(each.task for each in recipe.evaluation.tasks), *BESIDE_TASKS, *FURTHER)
    for gate in recipe.gates:
        if gate.metric.split("/")[0] not in measured:
            raise ValueError(f"gates: {gate.metric!r} begins with none of what is measured: {', '.join(measured)}")
        documented = any(source.kind == "python_docs" for source in recipe.sources)
        if not documented and gate.metric.split("/")[0] in (*DOCUMENTED_TASKS, *BESIDE_TASKS):
            raise ValueError(
                f"gates: {gate.metric!r} is measured on documented objects and this recipe has no python_docs source; "
                f"use {TEXT_ONLY_TASK}/bits_per_byte with at_most"
            )


def _gates_name_models_of_this_recipe(recipe: "Recipe") -> None:
    made = {"base", "sft", "dpo", *(f"dpo_r{number}" for number in range(2, recipe.rounds + 1))}
    made |= {"kto"} if recipe.kto else set()
    made |= {f"sft_r{each.round}" for each in recipe.added_instructions}
    for gate in recipe.gates:
        for name in (gate.model, gate.compared_to):
            if name not in (*made, FINAL, CHAMPION, None):
                raise ValueError(f"gates: {gate.metric!r}: this recipe makes no model {name}; it makes {sorted(made)}")
    final = "dpo" if recipe.rounds == 1 else f"dpo_r{recipe.rounds}"
    itself = next((gate for gate in recipe.gates if gate.model == FINAL and gate.compared_to == final), None)
    if itself:
        raise ValueError(f"gates: {itself.metric!r}: the final model of this recipe is {final}; compare it with another")
    names = Counter(gate.name for gate in recipe.gates)
    twice = next((gate for gate in recipe.gates if names[gate.name] > 1), None)
    if twice:
        raise ValueError(f"gates: two ask the same of {twice.model} {twice.metric!r}: {twice.kind}; keep one of them")


def _samples_are_known(recipe: "Recipe") -> None:
    own = {source.name for source in recipe.sources}
    for field in ("positive", "negative") if recipe.quality_model else ():
        for each in getattr(recipe.quality_model, field):
            name = each if isinstance(each, str) else each.name
            if isinstance(each, str) and name not in own:
                raise ValueError(f"quality_model.{field}: no source named {name!r}; this recipe has {sorted(own)}")
            if not isinstance(each, str) and name in own:
                raise ValueError(f"quality_model.{field}: {name!r} is a source of this recipe: give its name alone")


def _looks_at_own_sources(recipe: "Recipe") -> None:
    kinds = {source.name: source for source in recipe.sources}
    for field, groups in (("schedules", recipe.operation.schedules), ("drops", recipe.operation.drops)):
        for group in groups:
            unknown = sorted(set(group.sources or ()) - set(kinds))
            if unknown:
                raise ValueError(f"operation.{field}: {group.name} names {unknown}; this recipe has {sorted(kinds)}")
    for drop in recipe.operation.drops:
        others = [name for name in drop.sources if not isinstance(kinds[name], FileSource)]
        if others:
            raise ValueError(f"operation.drops: {drop.name} names {others}, which have no path: use a schedule")


def _mix_is_one_kind(recipe: "Recipe") -> None:
    weighted = [source.name for source in recipe.sources if source.weight is not None]
    missing = [source.name for source in recipe.sources if source.weight is None]
    if weighted and missing:
        raise ValueError(f"sources: weight is given for {weighted} and not for {missing}; give it for all or for none")
    if weighted and recipe.mix.temperature is not None:
        raise ValueError("mix.temperature and the sources' weight both decide the shares of tokens: give one of them")
    if recipe.mix.tokens and not weighted and recipe.mix.temperature is None:
        raise ValueError("mix.tokens: needs mix.temperature (1 keeps the sources' own shares) or a weight for every source")
    by_tokens = bool(weighted) or recipe.mix.temperature is not None
    repeated = [source.name for source in recipe.sources if source.epochs != 1]
    if by_tokens and repeated:
        raise ValueError(f"sources: epochs of {repeated} and a mix by tokens both decide; use mix.max_epochs as the limit")
