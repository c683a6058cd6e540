"""The HTTP side: an endpoint of the chat-completions form, the dashboard, figures for other programs."""
