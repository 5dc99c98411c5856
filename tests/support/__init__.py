"""What tests share: problems, instances of the papers, plain reference formulas."""
