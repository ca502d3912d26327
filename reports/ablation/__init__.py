"""What an ablation found: factors, settings and their costs."""
