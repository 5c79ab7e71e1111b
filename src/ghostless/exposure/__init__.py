"""How frames were exposed, what their codes mean in light, and which one to keep to."""
