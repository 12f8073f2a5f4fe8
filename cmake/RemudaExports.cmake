# The binary exports exactly the functions that the public header declares, so that an app that has
# its own log_info() keeps it.
#
# Everything is compiled with hidden visibility, the functions of remuda.h are marked RMD_API
# (default visibility), and the list of names is read out of the header: as a dynamic list (which
# also keeps out default-visible names of static libraries that are not ours) and as `-u name` for
# the linker, so that no member of an archive that holds one is dropped.

# Names of the functions declared with RMD_API in `header`.
function(remuda_read_exports header out_names)
  file(READ "${header}" text)
  string(REGEX REPLACE "/\\*([^*]|\\*+[^*/])*\\*+/" " " text "${text}") # comments
  string(REGEX REPLACE "#[^\n]*" "" text "${text}")
  string(REGEX MATCHALL "RMD_API[^;{]*;" declarations "${text};")
  set(names)
  foreach(declaration IN LISTS declarations)
    if(declaration MATCHES "[ \n*](rmd_[a-z0-9_]+)[ \n]*\\(")
      list(APPEND names ${CMAKE_MATCH_1})
    endif()
  endforeach()
  list(REMOVE_DUPLICATES names)
  list(SORT names)
  set(${out_names} "${names}" PARENT_SCOPE)
endfunction()

function(remuda_export_header target header)
  if(NOT EXISTS "${header}")
    return()
  endif()
  set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${header}")
  remuda_read_exports("${header}" names)
  list(JOIN names ";\n    " lines)
  list(TRANSFORM names PREPEND "-Wl,-u," OUTPUT_VARIABLE keep)
  set(list_file ${PROJECT_BINARY_DIR}/exports.list)
  file(CONFIGURE OUTPUT ${list_file} CONTENT "{\n    ${lines};\n};\n" @ONLY)
  target_link_options(${target} PRIVATE ${keep} -Wl,--dynamic-list=${list_file})
  set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS ${list_file})
endfunction()
