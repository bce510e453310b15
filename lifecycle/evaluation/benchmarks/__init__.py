"""What the shipped task files need beyond YAML: readers of public benchmarks' files, scoring, and the sandbox."""
