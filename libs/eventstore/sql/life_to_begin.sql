select life, behind, lost from closed where instance = $1 and life is not null
