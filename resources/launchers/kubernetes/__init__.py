"""Runs training programs as Kubernetes Jobs that survive whoever started them."""
