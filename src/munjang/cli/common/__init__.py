"""Common parts of all commands: declaration, options, inputs, output and error messages."""
