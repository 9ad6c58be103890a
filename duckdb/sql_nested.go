package duckdb

import (
	"fmt"
	"strings"
	"unsafe"

	"github.com/duckdb/duckdb-go/v2/mapping"
)

// nested reads lists, arrays, structs, maps and unions. Logical types of
// children are made by each call and destroyed after it.
func (r reader) nested(kind mapping.Type, row int) (any, error) {
	switch kind {
	case mapping.TypeList:
		child := mapping.ListTypeChildType(r.typ)
		defer mapping.DestroyLogicalType(&child)
		from, n := r.entry(row)
		return r.list(mapping.ListVectorGetChild(r.vec), child, from, n)
	case mapping.TypeArray:
		child := mapping.ArrayTypeChildType(r.typ)
		defer mapping.DestroyLogicalType(&child)
		n := int(mapping.ArrayTypeArraySize(r.typ))
		return r.list(mapping.ArrayVectorGetChild(r.vec), child, row*n, n)
	case mapping.TypeStruct:
		return r.structure(row)
	case mapping.TypeMap:
		return r.dictionary(row)
	}
	return r.union(row)
}

// entry returns where the values of a list lie in its child vector.
func (r reader) entry(row int) (from, n int) {
	e := *(*[2]uint64)(r.at(row, 16))
	return int(e[0]), int(e[1])
}

func (r reader) list(vec mapping.Vector, typ mapping.LogicalType, from, n int) (any, error) {
	if *r.size+n*valueOverhead > 2*maxSQLAnswer { // before it is allocated; table says how much is allowed
		n = min(n, (2*maxSQLAnswer-*r.size)/valueOverhead+1)
	}
	child := reader{vec, typ, r.size}
	out := make([]any, 0, max(n, 0))
	for i := from; i < from+n && *r.size <= maxSQLAnswer; i++ {
		v, err := child.value(i)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func (r reader) structure(row int) (any, error) {
	out := map[string]any{}
	for i := range mapping.StructTypeChildCount(r.typ) {
		typ := mapping.StructTypeChildType(r.typ, i)
		v, err := reader{mapping.StructVectorGetChild(r.vec, i), typ, r.size}.value(row)
		mapping.DestroyLogicalType(&typ)
		if err != nil {
			return nil, err
		}
		out[mapping.StructTypeChildName(r.typ, i)] = v
	}
	return out, nil
}

// dictionary reads a MAP, which is a list of structs of a key and a value.
func (r reader) dictionary(row int) (any, error) {
	keyType, valueType := mapping.MapTypeKeyType(r.typ), mapping.MapTypeValueType(r.typ)
	defer mapping.DestroyLogicalType(&keyType)
	defer mapping.DestroyLogicalType(&valueType)
	pairs := mapping.ListVectorGetChild(r.vec)
	keys := reader{mapping.StructVectorGetChild(pairs, 0), keyType, r.size}
	values := reader{mapping.StructVectorGetChild(pairs, 1), valueType, r.size}
	out := map[string]any{}
	from, n := r.entry(row)
	for i := from; i < from+n && *r.size <= maxSQLAnswer; i++ {
		k, err := keys.value(i)
		if err != nil {
			return nil, err
		}
		v, err := values.value(i)
		if err != nil {
			return nil, err
		}
		out[fmt.Sprint(k)] = v
	}
	return out, nil
}

// union reads a UNION, a struct whose first field is the tag.
func (r reader) union(row int) (any, error) {
	tag := *(*uint8)(unsafe.Add(mapping.VectorGetData(mapping.StructVectorGetChild(r.vec, 0)), row))
	typ := mapping.UnionTypeMemberType(r.typ, mapping.IdxT(tag))
	defer mapping.DestroyLogicalType(&typ)
	return reader{mapping.StructVectorGetChild(r.vec, mapping.IdxT(tag)+1), typ, r.size}.value(row)
}

var typeNames = map[mapping.Type]string{
	mapping.TypeBoolean: "BOOLEAN", mapping.TypeTinyInt: "TINYINT", mapping.TypeSmallInt: "SMALLINT",
	mapping.TypeInteger: "INTEGER", mapping.TypeBigInt: "BIGINT", mapping.TypeUTinyInt: "UTINYINT",
	mapping.TypeUSmallInt: "USMALLINT", mapping.TypeUInteger: "UINTEGER", mapping.TypeUBigInt: "UBIGINT",
	mapping.TypeFloat: "FLOAT", mapping.TypeDouble: "DOUBLE", mapping.TypeTimestamp: "TIMESTAMP",
	mapping.TypeDate: "DATE", mapping.TypeTime: "TIME", mapping.TypeInterval: "INTERVAL", mapping.TypeHugeInt: "HUGEINT",
	mapping.TypeUHugeInt: "UHUGEINT", mapping.TypeVarchar: "VARCHAR", mapping.TypeBlob: "BLOB",
	mapping.TypeTimestampS: "TIMESTAMP_S", mapping.TypeTimestampMS: "TIMESTAMP_MS", mapping.TypeTimestampNS: "TIMESTAMP_NS",
	mapping.TypeEnum: "ENUM", mapping.TypeUUID: "UUID", mapping.TypeUnion: "UNION", mapping.TypeBit: "BIT",
	mapping.TypeTimeTZ: "TIME WITH TIME ZONE", mapping.TypeTimestampTZ: "TIMESTAMP WITH TIME ZONE",
	mapping.TypeBigNum: "BIGNUM", mapping.TypeSQLNull: "NULL", mapping.TypeTimeNS: "TIME_NS",
	mapping.TypeGeometry: "GEOMETRY", mapping.TypeVariant: "VARIANT",
}

// typeName returns the SQL name of a type.
func typeName(t mapping.LogicalType) string {
	if alias := mapping.LogicalTypeGetAlias(t); alias != "" {
		return alias
	}
	switch kind := mapping.GetTypeId(t); kind {
	case mapping.TypeDecimal:
		return fmt.Sprintf("DECIMAL(%d,%d)", mapping.DecimalWidth(t), mapping.DecimalScale(t))
	case mapping.TypeList:
		return childName(mapping.ListTypeChildType(t)) + "[]"
	case mapping.TypeArray:
		return fmt.Sprintf("%s[%d]", childName(mapping.ArrayTypeChildType(t)), mapping.ArrayTypeArraySize(t))
	case mapping.TypeMap:
		return "MAP(" + childName(mapping.MapTypeKeyType(t)) + ", " + childName(mapping.MapTypeValueType(t)) + ")"
	case mapping.TypeStruct:
		var fields []string
		for i := range mapping.StructTypeChildCount(t) {
			fields = append(fields, mapping.StructTypeChildName(t, i)+" "+childName(mapping.StructTypeChildType(t, i)))
		}
		return "STRUCT(" + strings.Join(fields, ", ") + ")"
	default:
		return typeNames[kind]
	}
}

func childName(t mapping.LogicalType) string {
	defer mapping.DestroyLogicalType(&t)
	return typeName(t)
}
