# What `cmake --install` puts in place: program, libraries, headers, pkg-config and CMake package files, man page and
# shell completion. Two export sets: users of the shared library need none of its dependencies at build time.
include(CMakePackageConfigHelpers)

install(TARGETS pare_shared EXPORT pareTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS pare_static EXPORT pareStaticTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/pare DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(PARE_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/pare)
install(EXPORT pareTargets NAMESPACE pare:: DESTINATION ${PARE_CMAKE_DIR})
install(EXPORT pareStaticTargets NAMESPACE pare:: DESTINATION ${PARE_CMAKE_DIR})
configure_package_config_file(cmake/pareConfig.cmake.in ${PROJECT_BINARY_DIR}/pareConfig.cmake
    INSTALL_DESTINATION ${PARE_CMAKE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/pareConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/pareConfig.cmake ${PROJECT_BINARY_DIR}/pareConfigVersion.cmake
    DESTINATION ${PARE_CMAKE_DIR})

# Libs.private names what Requires.private could not: oneDNN and OpenMP have no .pc file, and the static closures of
# libcurl, libarchive and LAPACKE ask for libraries whose development packages nobody has.
set(PARE_PC_LIBS "-lcurl -larchive -llapacke -lpthread -lm")
if(PARE_TRAIN)
    string(PREPEND PARE_PC_LIBS "-ldnnl ")
endif()
if(PARE_OPENMP)
    string(APPEND PARE_PC_LIBS " -l${OpenMP_C_LIB_NAMES}")
    string(REPLACE ";" " -l" PARE_PC_LIBS "${PARE_PC_LIBS}")
endif()
configure_file(cmake/pare.pc.in ${PROJECT_BINARY_DIR}/pare.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/pare.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# Man page and completions come from the program's own option tables.
if(TARGET pare AND NOT CMAKE_CROSSCOMPILING)
    set(PARE_DOCS ${PROJECT_BINARY_DIR}/pare.1 ${PROJECT_BINARY_DIR}/pare.bash ${PROJECT_BINARY_DIR}/_pare)
    add_custom_command(
        OUTPUT ${PARE_DOCS}
        COMMAND pare help --man > ${PROJECT_BINARY_DIR}/pare.1
        COMMAND pare help --bash > ${PROJECT_BINARY_DIR}/pare.bash
        COMMAND pare help --zsh > ${PROJECT_BINARY_DIR}/_pare
        DEPENDS pare VERBATIM)
    add_custom_target(pare_docs ALL DEPENDS ${PARE_DOCS})
    install(FILES ${PROJECT_BINARY_DIR}/pare.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
    install(FILES ${PROJECT_BINARY_DIR}/pare.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
        RENAME pare)
    install(FILES ${PROJECT_BINARY_DIR}/_pare DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
endif()
