from libs.runtime.service import main
from services.inventory.service import SERVICE

main(SERVICE)
