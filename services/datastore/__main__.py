"""`python -m covey.services.datastore`"""

from covey.services.datastore.app import main

main()
