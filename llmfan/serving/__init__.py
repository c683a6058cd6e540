"""What callers of the chat-completions form ask for and are told: requests, who can serve them, answers, errors."""
