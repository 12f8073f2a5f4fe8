# How every target of ours is compiled: one function, so that no folder has flags of its own.

set(REMUDA_WARNINGS
  -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla)

# Compiles a target's sources by the rules of the tree: C17, warnings, banned functions, includes
# from the root, hidden visibility.
function(remuda_own_target target)
  set_target_properties(${target} PROPERTIES
    C_STANDARD 17 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF
    C_VISIBILITY_PRESET hidden)
  target_compile_definitions(${target} PRIVATE
    _GNU_SOURCE
    REMUDA_VERSION="${PROJECT_VERSION}"
    REMUDA_BUILD_TYPE="${CMAKE_BUILD_TYPE}"
    REMUDA_SANITIZE="${REMUDA_SANITIZE}"
    $<$<BOOL:${REMUDA_DEBUG}>:REMUDA_DEBUG>)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)
  target_compile_options(${target} PRIVATE
    ${REMUDA_WARNINGS}
    # gcc guesses at -Og that an snprintf might cut; where that is a mistake, its result is used.
    $<$<C_COMPILER_ID:GNU>:-Wno-format-truncation>
    $<$<BOOL:${REMUDA_WERROR}>:-Werror>
    -fPIE # not -fPIC: all of it ends in executables, where no name can be interposed
    -fstack-protector-strong
    -include ${PROJECT_SOURCE_DIR}/base/banned.h)
endfunction()

# The static library of one folder: remuda_<folder> from <folder>/*.c, linking what its row of the
# table of who may include whom allows. A folder without sources gives an empty interface library.
#   LINKS   libraries its sources use       EXCEPT  files of the folder that belong elsewhere
function(remuda_folder folder)
  cmake_parse_arguments(ARG "" "" "LINKS;EXCEPT" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/*.c)
  foreach(file IN LISTS ARG_EXCEPT)
    list(REMOVE_ITEM sources ${PROJECT_SOURCE_DIR}/${folder}/${file})
  endforeach()
  if(sources)
    add_library(remuda_${folder} STATIC ${sources})
    remuda_own_target(remuda_${folder})
    target_link_libraries(remuda_${folder} PUBLIC ${ARG_LINKS})
  else()
    add_library(remuda_${folder} INTERFACE)
    target_link_libraries(remuda_${folder} INTERFACE ${ARG_LINKS})
  endif()
endfunction()

# An application as a user would build it: cc -shared -fPIC app.c, only include/ on the path, no
# forced header. `path` is the shared object to make, relative to the build folder.
function(remuda_app target source path)
  cmake_path(GET path PARENT_PATH folder)
  cmake_path(GET path STEM LAST_ONLY stem)
  add_library(${target} MODULE ${source})
  set_target_properties(${target} PROPERTIES
    C_STANDARD 17 C_STANDARD_REQUIRED ON C_EXTENSIONS ON
    PREFIX "" OUTPUT_NAME "${stem}"
    LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/${folder})
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/include)
  target_compile_options(${target} PRIVATE -Wall -Wextra $<$<BOOL:${REMUDA_WERROR}>:-Werror>)
  if(REMUDA_SANITIZE MATCHES "undefined") # what writes to NULL on purpose gets its SIGSEGV
    target_compile_options(${target} PRIVATE -fno-sanitize=null)
  endif()
endfunction()
