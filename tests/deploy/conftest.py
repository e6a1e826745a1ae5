"""What is run by a verb of its own."""

import os

collect_ignore = [] if os.environ.get("FAIRLEAD_IMAGE") else ["test_image.py"]
