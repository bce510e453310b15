"""A recipe behind its sources in which every stage has something to plan, and words that sources are made of."""

LIFE = """tokenizer: {vocab_size: 320}
curation: {workers: 1}
base_model:
  training: {steps: 8, global_batch: 8, sequence_length: 64, micro_batch: 4, optimization: {learning_rate: 1.0e-3}}
instructions: {max_tokens: 64, scores: {}, selection: {keep: 0.5, by: {column: difficulty}},
  embeddings: {kind: lexical}, sources: [{kind: files, name: asked, path: /nowhere, licence: test data}]}
sft:
  phases: {by: difficulty, into: 2}
  training: {steps: 2, global_batch: 8, sequence_length: 64, micro_batch: 4, optimization: {learning_rate: 1.0e-3}}
gates: [{metric: heldout_bits_per_byte/bits_per_byte, model: base, at_most: 9.0}]
"""
WORDS = ("river", "stone", "lantern", "market", "winter", "garden", "letter", "window", "harbour", "bridge", "music")
