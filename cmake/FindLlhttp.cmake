# Finds llhttp, the HTTP/1 parser, and makes the target Llhttp::llhttp.
#
# Two ways, chosen by REMUDA_LLHTTP:
#   system  libllhttp-dev, 9 or later (Debian 13): header and library, through pkg-config's hints
#   node    node-llhttp (Debian 12): the generated C sources, compiled here into a static library
#   auto    system where it exists, else node
#
# The sources of 8.1 hold two automata and the header picks the loose one unless
# LLHTTP_STRICT_MODE is 1, for the sources and for whoever includes the header. It is therefore an
# interface definition of the target; a unit test of http/parse.c proves which automaton is linked.
#
# Sets Llhttp_FOUND, Llhttp_VERSION (text of the header's version macros) and Llhttp_WAY.

set(REMUDA_LLHTTP auto CACHE STRING "Where llhttp comes from: auto, system or node")
set_property(CACHE REMUDA_LLHTTP PROPERTY STRINGS auto system node)
if(NOT REMUDA_LLHTTP MATCHES "^(auto|system|node)$")
  message(FATAL_ERROR "REMUDA_LLHTTP is \"${REMUDA_LLHTTP}\"; it is one of auto, system, node.")
endif()

# Reads the version out of a header; empty when there is none.
function(llhttp_read_version header out_version)
  set(parts)
  foreach(part MAJOR MINOR PATCH)
    file(STRINGS "${header}" line REGEX "#define LLHTTP_VERSION_${part} +[0-9]+" LIMIT_COUNT 1)
    string(REGEX MATCH "[0-9]+$" number "${line}")
    list(APPEND parts "${number}")
  endforeach()
  list(JOIN parts "." version)
  set(${out_version} "${version}" PARENT_SCOPE)
endfunction()

set(Llhttp_WAY "")

if(REMUDA_LLHTTP MATCHES "^(auto|system)$")
  find_package(PkgConfig QUIET)
  if(PkgConfig_FOUND)
    pkg_check_modules(LLHTTP_PC QUIET libllhttp)
  endif()
  find_path(LLHTTP_INCLUDE_DIR llhttp.h HINTS ${LLHTTP_PC_INCLUDE_DIRS})
  find_library(LLHTTP_LIBRARY NAMES llhttp HINTS ${LLHTTP_PC_LIBRARY_DIRS})
  mark_as_advanced(LLHTTP_INCLUDE_DIR LLHTTP_LIBRARY)
  if(LLHTTP_INCLUDE_DIR AND LLHTTP_LIBRARY)
    llhttp_read_version("${LLHTTP_INCLUDE_DIR}/llhttp.h" Llhttp_VERSION)
    if(Llhttp_VERSION VERSION_GREATER_EQUAL 9)
      set(Llhttp_WAY system)
    else()
      message(STATUS "llhttp ${Llhttp_VERSION} in ${LLHTTP_INCLUDE_DIR} is older than 9: not used")
    endif()
  endif()
endif()

if(NOT Llhttp_WAY AND REMUDA_LLHTTP MATCHES "^(auto|node)$")
  find_path(LLHTTP_NODE_SOURCES llhttp.c PATHS /usr/share/llhttp NO_DEFAULT_PATH)
  find_path(LLHTTP_NODE_INCLUDE_DIR llhttp.h PATHS /usr/share/include/llhttp NO_DEFAULT_PATH)
  mark_as_advanced(LLHTTP_NODE_SOURCES LLHTTP_NODE_INCLUDE_DIR)
  if(LLHTTP_NODE_SOURCES AND LLHTTP_NODE_INCLUDE_DIR)
    llhttp_read_version("${LLHTTP_NODE_INCLUDE_DIR}/llhttp.h" Llhttp_VERSION)
    set(Llhttp_WAY node)
  endif()
endif()

if(Llhttp_WAY AND NOT TARGET Llhttp::llhttp)
  if(Llhttp_WAY STREQUAL "system")
    add_library(Llhttp::llhttp UNKNOWN IMPORTED)
    set_target_properties(Llhttp::llhttp PROPERTIES
      IMPORTED_LOCATION "${LLHTTP_LIBRARY}"
      INTERFACE_INCLUDE_DIRECTORIES "${LLHTTP_INCLUDE_DIR}")
  else()
    add_library(remuda_llhttp STATIC
      ${LLHTTP_NODE_SOURCES}/api.c ${LLHTTP_NODE_SOURCES}/http.c ${LLHTTP_NODE_SOURCES}/llhttp.c)
    target_include_directories(remuda_llhttp SYSTEM PUBLIC "${LLHTTP_NODE_INCLUDE_DIR}")
    target_compile_definitions(remuda_llhttp PUBLIC LLHTTP_STRICT_MODE=1)
    # Not our code: no warnings; and always optimised, as its generated automaton is slow otherwise.
    target_compile_options(remuda_llhttp PRIVATE -w -O2 -fvisibility=hidden -fPIE)
    add_library(Llhttp::llhttp ALIAS remuda_llhttp)
  endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Llhttp
  REQUIRED_VARS Llhttp_WAY
  VERSION_VAR Llhttp_VERSION
  REASON_FAILURE_MESSAGE "REMUDA_LLHTTP=${REMUDA_LLHTTP}. Install libllhttp-dev 9 or later \
(Debian 13) or node-llhttp (Debian 12), or run ./quickstart, which does it.")
