"""Where a chat endpoint is named; read by code locations too, so nothing heavy is imported here."""

URL, KEY = "LIFECYCLE_ENDPOINT_URL", "LIFECYCLE_ENDPOINT_KEY"
