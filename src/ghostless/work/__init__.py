"""What a task costs and how many run side by side."""
