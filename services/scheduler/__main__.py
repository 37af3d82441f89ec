"""`python -m covey.services.scheduler`"""

from covey.services.scheduler.app import main

main()
