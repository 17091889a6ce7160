"""Pages and an HTTP API for people who have no terminal at hand: questions, workers that answer them, a server."""
