--[[
Ghostless for Lightroom Classic: what the plug-in is, and where it is found.
]]

return {
  LrSdkVersion = 6.0,
  LrSdkMinimumVersion = 5.0,
  LrToolkitIdentifier = "org.ghostless.fuse",
  LrPluginName = "Ghostless",
  LrLibraryMenuItems = {
    { title = "Fuse the Bracket", file = "FuseSelected.lua", enabledWhen = "photosSelected" },
  },
  LrExportMenuItems = {
    { title = "Fuse the Bracket", file = "FuseSelected.lua", enabledWhen = "photosSelected" },
  },
  LrExportServiceProvider = { title = "Ghostless", file = "ExportService.lua" },
  VERSION = { major = 0, minor = 1, revision = 0 },
}
