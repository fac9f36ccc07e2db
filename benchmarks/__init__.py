"""What training and workflow cost, beside what others would: `make bench`. Ratios are taken within one run, round by round."""
