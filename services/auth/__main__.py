from libs.runtime.service import main
from services.auth.service import SERVICE

main(SERVICE)
