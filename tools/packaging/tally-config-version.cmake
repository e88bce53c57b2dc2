# SPDX-License-Identifier: MIT
# Newer ones of the same minor version will do; before 1.0 each minor version may change the API.
set(PACKAGE_VERSION "@VERSION@")
string(REGEX MATCH "^[0-9]+\\.[0-9]+" tally_series_ "${PACKAGE_VERSION}")
if(NOT PACKAGE_VERSION VERSION_LESS PACKAGE_FIND_VERSION AND
		(NOT PACKAGE_FIND_VERSION OR
		"${PACKAGE_FIND_VERSION_MAJOR}.${PACKAGE_FIND_VERSION_MINOR}" STREQUAL "${tally_series_}"))
	set(PACKAGE_VERSION_COMPATIBLE TRUE)
	if(PACKAGE_VERSION VERSION_EQUAL PACKAGE_FIND_VERSION)
		set(PACKAGE_VERSION_EXACT TRUE)
	endif()
endif()
unset(tally_series_)
