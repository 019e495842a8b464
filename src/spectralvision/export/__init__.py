"""Export networks to the runtimes where they are deployed; one file a runtime."""
