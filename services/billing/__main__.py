from libs.runtime.service import main
from services.billing.service import SERVICE

main(SERVICE)
