package contract

// TrunkSecret names the cluster secret (see ClusterSecret) that passwords of trunks are sealed with and the contacts of
// registered trunks are made from.
const TrunkSecret = "trunks"

// TrunkOwner is whom the password of a trunk is sealed for.
func TrunkOwner(tenant, dn string) string { return tenant + "/" + dn }
