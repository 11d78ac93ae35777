from libs.runtime.service import main
from services.crm.service import SERVICE

main(SERVICE)
