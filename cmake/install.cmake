# What `cmake --install` puts in place: libraries, headers, pkg-config and CMake package files.
install(TARGETS pare_static EXPORT pareTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/pare DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
