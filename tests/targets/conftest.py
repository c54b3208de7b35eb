"""With this file pytest puts its folder on ``sys.path``: tests here, and the workers they start, import its parts."""
