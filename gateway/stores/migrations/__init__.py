"""How a database came to the schema of this code. A version runs `pre`: before the new code starts, or `post`: after the old has ended."""
