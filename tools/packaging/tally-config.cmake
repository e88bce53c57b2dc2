# SPDX-License-Identifier: MIT
# find_package(tally): the target tally::tally, headers only. Found by the place of this file,
# PREFIX/share/cmake/tally, so that an installed tree may be moved.
if(NOT TARGET tally::tally)
	get_filename_component(tally_prefix_ "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
	add_library(tally::tally INTERFACE IMPORTED)
	set_target_properties(tally::tally PROPERTIES
		INTERFACE_INCLUDE_DIRECTORIES "${tally_prefix_}/include")
	unset(tally_prefix_)
endif()
