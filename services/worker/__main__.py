"""`python -m covey.services.worker`"""

from covey.services.worker.app import main

main()
