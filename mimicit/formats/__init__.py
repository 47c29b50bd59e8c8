"""The text that a trainer makes of an in-context example set, and where the loss falls in it."""
