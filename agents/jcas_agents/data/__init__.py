"""What policies are trained and judged on."""
