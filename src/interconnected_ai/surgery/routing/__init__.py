"""From hidden states to chosen experts: the families' rules, what a pass knows, programs, losses on routers."""
