package exception

import (
	"slices"
	"strings"

	"github.com/millrace/millrace"
)

// images finds the image of an address.
type images struct {
	byBase []image
}

func newImages(list []image) images {
	slices.SortStableFunc(list, func(a, b image) int {
		switch {
		case a.base < b.base:
			return -1
		case a.base > b.base:
			return 1
		}
		return 0
	})
	return images{list}
}

// at returns the image that holds address, or nil.
func (m images) at(address uint64) *image {
	i, found := slices.BinarySearchFunc(m.byBase, address, func(im image, a uint64) int {
		switch {
		case im.base < a:
			return -1
		case im.base > a:
			return 1
		}
		return 0
	})
	if !found {
		i--
	}
	if i < 0 || address > m.byBase[i].end {
		return nil
	}
	return &m.byBase[i]
}

// resolve gives frames the module, build id and offset of their image, and says
// which are the application's.
func (m images) resolve(frames []millrace.Frame) {
	for i := range frames {
		f := &frames[i]
		im := m.at(f.Address)
		if im == nil {
			f.InApp = f.Module != "" && appleInApp(f.Module, "")
			continue
		}
		if f.Module == "" {
			f.Module = im.name
		}
		f.Build, f.Offset = im.build, f.Address-im.base
		f.InApp = appleInApp(f.Module, im.path)
	}
}

// nativeSystem are the places where systems keep their own images.
var nativeSystem = [...]string{
	"/System/", "/usr/lib", "/lib/", "/lib64/", "/lib32/", "/apex/", "/system/", "/system_ext/", "/vendor/", "/product/",
	"/Library/", "/usr/libexec/", "/data/dalvik-cache/", "/memfd:", "/dev/ashmem/", "[", "linux-gate", "linux-vdso",
	"libc.so", "libstdc++", "libpthread", "libgcc_s", "libm.so", "libart.so", "boot.oat", "boot-framework.oat",
	"base.odex", "<anonymous", "anon_inode", "app_process",
}

// nativeInApp decides by the path or name of an image.
func nativeInApp(module string) bool {
	for _, p := range nativeSystem {
		if strings.HasPrefix(module, p) {
			return false
		}
	}
	if len(module) > 3 && module[1] == ':' { // Windows
		rest := module[2:]
		return !hasPrefixFold(rest, `\windows\`) && !hasPrefixFold(rest, `\program files\windows`)
	}
	return !strings.Contains(module, ".simruntime/") && !strings.Contains(module, "/Xcode.app/") && !strings.Contains(module, "/Xcode-beta.app/")
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// nativeFileInApp: headers of the compiler and of Rust's standard library.
func nativeFileInApp(file string) bool {
	return !strings.HasPrefix(file, "/usr/include/") && !strings.HasPrefix(file, "/usr/lib/") &&
		!strings.Contains(file, "/bits/") && !strings.HasPrefix(file, "../sysdeps/") && !strings.Contains(file, "/sysdeps/")
}

// runtimeNames are functions of the C and C++ runtimes, wherever they lie.
var runtimeNames = set("abort raise gsignal _start start __libc_start_main __libc_start_call_main __pthread_kill pthread_kill " +
	"__pthread_kill_implementation __pthread_kill_internal __GI_raise __GI_abort _Unwind_Resume __cxa_throw __cxa_rethrow " +
	"objc_exception_throw objc_exception_rethrow _objc_terminate abort_message terminate std::terminate _CxxThrowException " +
	"RaiseException __assert_fail __assert_fail_base __rust_begin_short_backtrace _sigtramp __restore_rt clone start_thread")

func nativeRuntime(function string) bool { return runtimeNames[function] }

// appleLibraries are image names of frameworks that reports without paths name.
var appleLibraries = set("UIKit UIKitCore CoreFoundation Foundation AppKit HIToolbox QuartzCore GraphicsServices " +
	"FrontBoardServices CFNetwork dyld dyld_sim SwiftUI AttributeGraph CoreGraphics CoreAnimation WebKit WebCore JavaScriptCore " +
	"Security CoreData CoreText ImageIO AVFoundation CoreMedia MediaToolbox MapKit Metal GameKit StoreKit UIFoundation " +
	"RunningBoardServices BaseBoard BackBoardServices BoardServices SpringBoardServices libdispatch SkyLight CoreAutoLayout")

// appleInApp decides by the path of an image, or by its name without one.
func appleInApp(name, path string) bool {
	if name == "Sentry" || strings.HasPrefix(name, "libswift") { // linked into the application
		return false
	}
	if path != "" {
		return nativeInApp(path)
	}
	if strings.HasPrefix(name, "lib") && (strings.HasSuffix(name, ".dylib") || strings.HasSuffix(name, ".tbd")) {
		for _, p := range [...]string{"libsystem", "libdyld", "libobjc", "libc++", "libdispatch", "libxpc", "libcache", "libGPU"} {
			if strings.HasPrefix(name, p) {
				return false
			}
		}
	}
	return !appleLibraries[name] && nativeInApp(name)
}

// rustInApp: the standard library and crates from the registry are not.
func rustInApp(f *millrace.Frame) bool {
	name := strings.TrimPrefix(f.Function, "<")
	for _, p := range [...]string{"std::", "core::", "alloc::", "rust_begin_unwind", "__rust_", "rust_panic", "_start", "__libc", "_main", "backtrace::"} {
		if strings.HasPrefix(name, p) {
			return false
		}
	}
	return !strings.HasPrefix(f.File, "/rustc/") && !strings.Contains(f.File, "/.cargo/registry/") && !nativeRuntime(f.Function)
}
