"""A client for chat endpoints: limited, retried, cached by content, its cost counted."""
