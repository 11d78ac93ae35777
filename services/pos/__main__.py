from libs.runtime.service import main
from services.pos.service import SERVICE

main(SERVICE)
