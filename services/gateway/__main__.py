"""`python -m covey.services.gateway`"""

from covey.services.gateway.app import main

main()
