package main

import (
	"bytes"
	"path"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/stores/dotenv"
	"github.com/getsops/sops/v3/stores/ini"
	"github.com/getsops/sops/v3/stores/json"
	"github.com/getsops/sops/v3/stores/yaml"
)

// Names of formats in requests.
const (
	FormatAuto   = "auto"
	FormatYAML   = "yaml"
	FormatJSON   = "json"
	FormatDotenv = "dotenv"
	FormatINI    = "ini"
	FormatBinary = "binary"
)

func knownFormat(name string) bool {
	switch name {
	case "", FormatAuto, FormatYAML, FormatJSON, FormatDotenv, FormatINI, FormatBinary:
		return true
	default:
		return false
	}
}

// chooseFormat returns the format of a file: as SOPS by the end of its name, and
// where that says nothing (SOPS then means binary) by what is in it.
func chooseFormat(file *File) string {
	if file.Format != "" && file.Format != FormatAuto {
		return file.Format
	}
	switch path.Ext(file.Path) {
	case ".yaml", ".yml":
		return FormatYAML
	case ".json":
		return FormatJSON
	case ".env":
		return FormatDotenv
	case ".ini":
		return FormatINI
	}
	if bytes.HasPrefix(bytes.TrimLeft(file.Data, " \t\r\n"), []byte("{")) {
		if inspect(FormatJSON, file.Data).encrypted && !inspect(FormatBinary, file.Data).encrypted {
			return FormatJSON
		}
		return FormatBinary
	}
	for _, format := range []string{FormatDotenv, FormatINI, FormatYAML} {
		if inspect(format, file.Data).encrypted {
			return format
		}
	}
	return FormatBinary
}

// newStore returns what reads and writes a format, with the settings that sops
// has without a .sops.yaml.
func newStore(format string) sops.Store {
	stores := &config.StoresConfig{}
	stores.JSON.Indent, stores.JSONBinary.Indent = -1, -1
	switch format {
	case FormatYAML:
		return yaml.NewStore(&stores.YAML)
	case FormatJSON:
		return json.NewStore(&stores.JSON)
	case FormatDotenv:
		return dotenv.NewStore(&stores.Dotenv)
	case FormatINI:
		return ini.NewStore(&stores.INI)
	default:
		return json.NewBinaryStore(&stores.JSONBinary)
	}
}
