package supply_chain

import rego.v1

crates := input.outputs.sbom.list

deny contains finding if {
	some crate in crates
	crate.name in data.banned
	finding := {
		"msg": sprintf("%s %s is banned", [crate.name, crate.version]),
		"severity": input.context.severity,
	}
}

deny contains "the bill of materials is empty" if count(crates) == 0

warn contains finding if {
	versions := {name: found |
		some crate in crates
		name := crate.name
		found := {other.version | some other in crates; other.name == name}
	}
	some name, found in versions
	count(found) > data.versions_max
	finding := {
		"msg": sprintf("%s is there in %d versions: %s", [name, count(found), concat(", ", sort(found))]),
		"severity": "low",
	}
}
