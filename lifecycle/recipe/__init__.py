"""The recipe's models, by section. Its whole is in `recipe`: who works on one section need not import them all."""
