"""Search for near-duplicates among signatures in memory: by the real thing, and by comparing all pairs."""

from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from lifecycle.curation.banding import Numbers, Part, SignedTexts, write_part
from lifecycle.curation.joined import Before
from lifecycle.curation.minhash import EMPTY, Signatures, least_agreeing, signatures
from lifecycle.curation.near_duplicates import near_duplicates
from lifecycle.parallel import Executor
from lifecycle.recipe.corpora import MinHashConfig

Found = dict[int, tuple[int, float]]
"""Text that goes: the one that it gives way to, and their similarity."""


def written(
    directory: Path, signature: Signatures, config: MinHashConfig, partitions: int = 1, cuts: tuple[int, ...] = ()
) -> SignedTexts:
    """The signatures as parts on disk, cut at some places."""
    places = [0, *sorted(cut for cut in set(cuts) if 0 < cut < len(signature)), len(signature)]
    parts = []
    for number, (begin, end) in enumerate(pairwise(places)):
        parts.append(Part(directory / str(number), begin, end - begin))
        write_part(parts[-1], signature[begin:end], config, partitions)
    return SignedTexts(tuple(parts), config, partitions)


def search(
    signature: Signatures,
    config: MinHashConfig,
    rank: Numbers | None = None,
    pinned_from: int | None = None,
    partitions: int = 1,
    cuts: tuple[int, ...] = (),
    workers: int = 1,
    executor: Executor = "local",
    earlier: int = 0,
) -> Found:
    """What `near_duplicates` finds; `rank` is lower for texts that are preferred, by default for earlier ones.

    Args:
        earlier: so many texts were searched among before.
    """
    by = np.arange(len(signature)) if rank is None else rank
    with TemporaryDirectory() as directory:
        texts = written(Path(directory), signature, config, partitions, cuts)
        end = len(signature) if pinned_from is None else pinned_from
        prefer = lambda some: some[np.argsort(by[some])]  # noqa: E731
        before = None
        if earlier:
            (Path(directory) / "some").mkdir()
            some = written(Path(directory) / "some", signature[:earlier], config)
            pairs = near_duplicates(some, prefer, earlier, None, 1).joined
            assert pairs
            np.save(Path(directory) / "known.npy", np.arange(len(signature)) < earlier)
            before = Before(Path(directory) / "known.npy", pairs)
        found = near_duplicates(texts, prefer, end, None, workers, executor, before)
    pairs = zip(found.kept.tolist(), found.similarity.tolist(), strict=True)
    return dict(zip(found.texts.tolist(), pairs, strict=True))


def keepers(texts: list[str], config: MinHashConfig) -> list[int]:
    """For each text the one that stays for it, itself where it stays; earlier ones are preferred."""
    found = search(signatures(texts, config), config)
    return [found.get(text, (text, 1.0))[0] for text in range(len(texts))]


def all_pairs(signature: Signatures, config: MinHashConfig, rank: Numbers, pinned_from: int) -> Found:
    """The definition: compare every two texts; components of candidates that agree; the best that resembles one stays."""
    count, least = len(signature), least_agreeing(config)
    agree = (signature[:, None, :] == signature[None, :, :]).sum(axis=2)
    bands = (signature[:, None, :] == signature[None, :, :]).reshape(count, count, config.bands, config.rows)
    wordless = (signature == EMPTY).all(axis=1)
    joined = bands.all(axis=3).any(axis=2) & (agree >= least) & ~wordless[:, None] & ~wordless[None, :]
    component = list(range(count))
    for one in range(count):
        for two in range(one):
            if joined[one, two] and component[one] != component[two]:
                old, new = component[one], component[two]
                component = [new if each == old else each for each in component]
    stays: list[int] = []
    found: Found = {}
    for text in sorted(range(count), key=lambda text: rank[text]):
        alike = [other for other in stays if component[other] == component[text] and agree[text, other] >= least]
        if alike and text < pinned_from:
            found[text] = alike[0], agree[text, alike[0]] / signature.shape[1]
        else:
            stays.append(text)
    return found
