"""Training: the causal program (pretraining and SFT), the preference program (DPO), and the launcher that runs them."""
