"""Every number the README quotes, as a command anyone can repeat: ratios, measured side by side in one run."""
