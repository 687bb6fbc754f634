"""One model from many: soups, task arithmetic, Fisher averaging, moving averages."""
