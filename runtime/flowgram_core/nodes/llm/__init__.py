"""The llm node: chat completions of OpenAI-compatible APIs."""
