"""What an experienced operator looks at: each module one part of an installation, each finding with why it matters and what to do."""
