# The library with which an app's handlers are unit-tested without a server.
#
# In this tree it is the target remuda_test. Installed it is one archive, libremuda_test.a, that
# holds the test kit and every library of ours under it, so that a user links a single -l and
# pkg-config names the rest.

add_library(remuda_test INTERFACE)
target_include_directories(remuda_test INTERFACE ${PROJECT_SOURCE_DIR}/include)

if(EXISTS ${PROJECT_SOURCE_DIR}/workers/testkit.c)
  add_library(remuda_testkit STATIC workers/testkit.c)
  remuda_own_target(remuda_testkit)
  target_link_libraries(remuda_testkit PUBLIC
    remuda_workers remuda_http remuda_ipc remuda_config remuda_base)
  target_link_libraries(remuda_test INTERFACE remuda_testkit)

  set(parts remuda_testkit)
  foreach(folder workers http ipc config base llhttp)
    if(TARGET remuda_${folder})
      get_target_property(type remuda_${folder} TYPE)
      if(type STREQUAL "STATIC_LIBRARY")
        list(APPEND parts remuda_${folder})
      endif()
    endif()
  endforeach()

  # ar's script language (ar(1), "MRI librarian") is the one way to put archives into an archive.
  set(merged ${PROJECT_BINARY_DIR}/libremuda_test.a)
  set(script "CREATE ${merged}\n")
  foreach(part IN LISTS parts)
    string(APPEND script "ADDLIB $<TARGET_FILE:${part}>\n")
  endforeach()
  string(APPEND script "SAVE\nEND\n")
  file(GENERATE OUTPUT ${PROJECT_BINARY_DIR}/libremuda_test.mri CONTENT "${script}")
  add_custom_command(OUTPUT ${merged}
    COMMAND ${CMAKE_COMMAND} -E rm -f ${merged}
    COMMAND ${CMAKE_AR} -M < ${PROJECT_BINARY_DIR}/libremuda_test.mri
    DEPENDS ${parts} ${PROJECT_BINARY_DIR}/libremuda_test.mri
    COMMENT "Merging libremuda_test.a" VERBATIM)
  add_custom_target(remuda_test_archive ALL DEPENDS ${merged})
  install(FILES ${merged} DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
